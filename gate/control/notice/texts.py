"""What the notice page says, for each reason and for all of them, in Chinese and English.

What stays the same around it (the legal basis, the links) is in notice.html.

The filings due follow the filing system's own terms: a first filing (首次备案) where there is
none, an access filing (接入备案) where the domain is filed through another provider.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class ReasonWords:
    """One language's words for one reason."""

    title: str
    why: str
    due: str
    """The filing that is due; "" where none is."""
    owner: tuple[str, ...]
    """What the owner does, step by step."""


@dataclass(slots=True, frozen=True)
class NoticeText:
    """The page for one reason."""

    zh: ReasonWords
    en: ReasonWords


@dataclass(slots=True, frozen=True)
class CommonWords:
    """One language's words that are the same for every reason."""

    due: str
    """Stands before the filing that is due."""
    open_site: str
    """The link to a site that can be opened."""
    portal: str
    """What the provider's filing system is called, behind the provider's name."""
    go_to: str
    call: str
    visitor: str
    """What is said to who only visits the site."""
    visitor_open: str
    """The same, once the site can be opened."""


COMMON_ZH = CommonWords(
    due="需要办理",
    open_site="打开网站",
    portal="备案系统",
    go_to="办理入口",
    call="服务电话",
    visitor="这与您的设备和网络无关，您无需进行任何操作。请稍后再来，或联系网站所有者。",
    visitor_open="网站现在可以打开；如果仍看到本页，请清除浏览器缓存后重试。",
)
COMMON_EN = CommonWords(
    due="Filing due",
    open_site="Open the website",
    portal="filing portal",
    go_to="Go to",
    call="Call",
    visitor="Nothing is wrong with your device or network, and there is nothing you need to do. "
    "Please come back later, or contact the owner of the website.",
    visitor_open="The website can be opened now. If you still land here, clear your browser's "
    "cache.",
)

_AFTER_ZH = "审核通过后，网站即可恢复访问，无需另行申请。"
_AFTER_EN = "Once it is approved, the website is available again; no further request is needed."

UNFILED = NoticeText(
    zh=ReasonWords(
        title="该网站暂时无法访问",
        why="没有查到该域名的 ICP 备案信息。使用中国内地服务器提供服务的网站，须先完成备案。",
        due="首次备案",
        owner=(
            "登录服务器所在云服务商的备案系统，为该域名提交首次备案申请；"
            "主体已备案过的，提交新增服务备案。",
            "由云服务商初审后，提交至当地通信管理局审核。",
            _AFTER_ZH,
        ),
    ),
    en=ReasonWords(
        title="This website is not available at present",
        why="No ICP filing was found for this domain. A website served from mainland China must "
        "be filed first.",
        due="First filing (首次备案)",
        owner=(
            "Sign in to the filing system of the cloud provider that hosts the server, and submit "
            "a first filing for the domain; if your organisation is filed already, add a service.",
            "The provider reviews it, then the local communications administration does.",
            _AFTER_EN,
        ),
    ),
)

FILED_ELSEWHERE = NoticeText(
    zh=ReasonWords(
        title="该网站暂时无法访问",
        why="该域名已有 ICP 备案，但尚未在当前云服务商办理接入。"
        "更换或新增服务商后，须办理接入备案。",
        due="接入备案",
        owner=(
            "登录当前云服务商的备案系统，为该域名提交接入备案申请；原有备案号保持不变。",
            "由云服务商初审后，提交至当地通信管理局审核。",
            _AFTER_ZH,
        ),
    ),
    en=ReasonWords(
        title="This website is not available at present",
        why="This domain has an ICP filing, but not through the cloud provider that serves it "
        "now. After a change of provider, or with a further one, an access filing is needed.",
        due="Access filing (接入备案)",
        owner=(
            "Sign in to the filing system of the present cloud provider, and submit an access "
            "filing for the domain; its licence number stays the same.",
            "The provider reviews it, then the local communications administration does.",
            _AFTER_EN,
        ),
    ),
)

REVOKED = NoticeText(
    zh=ReasonWords(
        title="该网站暂时无法访问",
        why="该域名的 ICP 备案已注销或取消，须重新备案后方可提供服务。",
        due="首次备案（重新备案）",
        owner=(
            "如非本人申请注销，请先联系云服务商核实原因。",
            "登录服务器所在云服务商的备案系统，为该域名重新提交备案申请。",
            _AFTER_ZH,
        ),
    ),
    en=ReasonWords(
        title="This website is not available at present",
        why="The ICP filing of this domain has been cancelled. It must be filed again before the "
        "website can be served.",
        due="First filing, again (首次备案)",
        owner=(
            "If you did not ask for the cancellation, ask the cloud provider for the cause first.",
            "Sign in to the filing system of the cloud provider that hosts the server, and file "
            "the domain again.",
            _AFTER_EN,
        ),
    ),
)

SUSPENDED = NoticeText(
    zh=ReasonWords(
        title="该网站已被暂停访问",
        why="该域名已有备案，但云服务商已暂停其访问。",
        due="",
        owner=("请联系云服务商了解暂停的原因，并按要求处理。",),
    ),
    en=ReasonWords(
        title="Access to this website is suspended",
        why="This domain is filed, but the cloud provider has suspended access to it.",
        due="",
        owner=("Please contact the cloud provider to learn the cause and what to do.",),
    ),
)

IP_HOST = NoticeText(
    zh=ReasonWords(
        title="不能通过 IP 地址访问",
        why="您使用了 IP 地址而不是域名。通过 IP 地址提供网站服务同样须先备案。",
        due="",
        owner=(
            "请使用已备案的域名访问网站。",
            "域名尚未备案的，请登录服务器所在云服务商的备案系统提交首次备案申请。",
        ),
    ),
    en=ReasonWords(
        title="Not available by IP address",
        why="The address that you used is an IP address, not a domain. A website served by IP "
        "address must be filed as well.",
        due="",
        owner=(
            "Please use a domain that is filed.",
            "If the domain is not filed yet, submit a first filing through the filing system of "
            "the cloud provider that hosts the server.",
        ),
    ),
)

NO_HOST = NoticeText(
    zh=ReasonWords(
        title="请求中没有域名",
        why="无法判断您要访问的网站，因为请求中没有域名。",
        due="",
        owner=("请使用域名访问网站；程序访问时，请发送 Host 请求头。",),
    ),
    en=ReasonWords(
        title="The request names no website",
        why="It cannot be told which website you want, because the request holds no domain.",
        due="",
        owner=("Please use the website's domain; a program must send the Host header field.",),
    ),
)

GENERAL = NoticeText(
    zh=ReasonWords(
        title="该网站暂时无法访问",
        why="使用中国内地服务器提供服务的网站，须先在当前云服务商完成 ICP 备案。",
        due="",
        owner=(
            "域名没有备案的，请在当前云服务商的备案系统提交首次备案申请。",
            "域名已通过其他服务商备案的，请在当前云服务商的备案系统提交接入备案申请。",
            _AFTER_ZH,
        ),
    ),
    en=ReasonWords(
        title="This website is not available at present",
        why="A website served from mainland China must have an ICP filing through the cloud "
        "provider that serves it.",
        due="",
        owner=(
            "If the domain is not filed, submit a first filing (首次备案) through the present "
            "cloud provider's filing system.",
            "If it is filed through another provider, submit an access filing (接入备案) there.",
            _AFTER_EN,
        ),
    ),
)

FILED = NoticeText(
    zh=ReasonWords(
        title="该网站现已可以访问",
        why="该域名的 ICP 备案有效，已在本节点放行。",
        due="",
        owner=("无需任何操作。备案变更、注销或取消接入后，此状态会随之改变。",),
    ),
    en=ReasonWords(
        title="This website is available now",
        why="This domain is filed, and its traffic passes here.",
        due="",
        owner=(
            "There is nothing to do. It stays so until the filing is changed, cancelled, or moved "
            "to another provider.",
        ),
    ),
)

NOTICES = {
    "filed": FILED,
    "exempt": FILED,
    "unfiled": UNFILED,
    "filed_elsewhere": FILED_ELSEWHERE,
    "revoked": REVOKED,
    "suspended": SUSPENDED,
    "ip_host": IP_HOST,
    "no_host": NO_HOST,
}
