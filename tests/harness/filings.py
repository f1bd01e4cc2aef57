"""The filings that the end-to-end gate is started with."""

from __future__ import annotations

FILED = "filed.com"
FILED_CN = "example.com.cn"
FILED_IDN = "xn--fsqu00a.com"
FILED_IDN_TEXT = "例子.com"
UNFILED = "unfiled.com"
ELSEWHERE = "elsewhere.com"
SUSPENDED = "suspended.com"
REVOKED = "revoked.com"
EXEMPT = "exempt.com"  # not filed; an operator lets it through for an hour
ENDED = "ended.com"  # not filed; the time for which an operator let it through is over
STOPPED = "stopped.com"  # filed; an operator has suspended it

LICENCE = "京ICP备12345678号-1"

# Names with an upstream of their own; each is filed.
TO_REFUSED = "to-refused.com"
TO_SILENT = "to-silent.com"
TO_BLACKHOLE = "to-blackhole.com"
TO_PROXY_V1 = "to-proxy-v1.com"
TO_PROXY_V2 = "to-proxy-v2.com"
TO_PAIR = "to-pair.com"
TO_RAW = "to-raw.com"
TO_SUBTREE = "to-subtree.com"
TO_BELOW = "to-below.com"
TO_RETRY = "to-retry.com"  # its TLS origin asks every client for a second hello
TO_IDN, TO_IDN_TEXT = "xn--snyt14c.com", "路由.com"

ROUTED = (
    TO_REFUSED,
    TO_SILENT,
    TO_BLACKHOLE,
    TO_PROXY_V1,
    TO_PROXY_V2,
    TO_PAIR,
    TO_RAW,
    TO_SUBTREE,
    TO_BELOW,
    TO_RETRY,
    TO_IDN,
)
ALL_FILED = (FILED, FILED_CN, FILED_IDN, STOPPED, *ROUTED)
