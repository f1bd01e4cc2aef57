"""Orders take the place of applications, which become some; owners and sub-users have tokens.

Revises: 0003.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("origin = 'order' AND state NOT IN ('done', 'withdrawn', 'abandoned')")
WAITING = sa.text("origin = 'operation' AND state = 'authority_review' AND type = 'first_filing'")
TIMED = sa.text("timer_at IS NOT NULL")
ESTIMATED = sa.text("due_known_to IS NOT NULL")
ROLES = "role IN ('owner', 'verifier', 'reader', 'registrar', 'reviewer', 'authority', 'admin')"
ACCOUNT = "(role = 'owner') = (account IS NOT NULL)"
STATES = (
    "state IN ('draft', 'stale', 'provider_review', 'returned', 'sms', 'authority_review', "
    "'done', 'withdrawn', 'abandoned')"
)


def upgrade() -> None:
    _make_orders()
    _move_applications()
    _widen_tokens()


def _make_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("account", BYTEWISE, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("province", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("people", sa.Text(), nullable=False),
        sa.Column("clocks", sa.Text(), nullable=False),
        sa.Column("timer_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("due_known_to", sa.Integer(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("submitted_at", sa.BigInteger(), nullable=True),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("faults", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("opened", sa.Text(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("origin IN ('order', 'operation')", name=op.f("ck_orders_origin")),
        sa.CheckConstraint(STATES, name=op.f("ck_orders_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index("ix_orders_state", "orders", ["state", "due_at", "id"], unique=False)
    op.create_index("ix_orders_account", "orders", ["account", "id"], unique=False)
    for name, column, unique, where in (
        ("ix_orders_open_account", "account", True, OPEN),
        ("ix_orders_waiting_account", "account", True, WAITING),
        ("ix_orders_timer_at", "timer_at", False, TIMED),
        ("ix_orders_due_known_to", "due_known_to", False, ESTIMATED),
    ):
        op.create_index(
            name, "orders", [column], unique=unique, sqlite_where=where, postgresql_where=where
        )
    op.create_table(
        "order_items",
        sa.Column("order_id", ID, nullable=False),
        sa.Column("target", BYTEWISE, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_items_order_id")),
        sa.PrimaryKeyConstraint("order_id", "target", name=op.f("pk_order_items")),
    )
    op.create_index("ix_order_items_target", "order_items", ["target", "order_id"], unique=False)
    op.create_table(
        "order_events",
        sa.Column("order_id", ID, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("notice", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_events_order_id")),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("pk_order_events")),
    )


def _move_applications() -> None:
    """Each application becomes an order of its number; its requests and decisions are events."""
    connection = op.get_bind()
    held = connection.execute(sa.text("SELECT domain, application_id FROM reservations")).all()
    op.drop_table("reservations")
    op.create_table(
        "reservations",
        sa.Column("domain", BYTEWISE, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_reservations_order_id")),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_order_id", "reservations", ["order_id"], unique=False)
    here = set(
        connection.execute(
            sa.text("SELECT licence FROM subjects WHERE account IS NOT NULL")
        ).scalars()
    )
    after = 0
    query = sa.text("SELECT * FROM applications WHERE id > :after ORDER BY id LIMIT 1000")
    while rows := connection.execute(query, {"after": after}).all():
        for row in rows:
            _move_application(connection, row, here)
        after = rows[-1].id
    if held:
        connection.execute(
            sa.text("INSERT INTO reservations (domain, order_id) VALUES (:domain, :order_id)"),
            [{"domain": row.domain, "order_id": row.application_id} for row in held],
        )
    op.drop_table("applications")


def _move_application(connection: sa.Connection, row: sa.Row[Any], here: set[str]) -> None:
    request = json.loads(row.request)
    entry = _entry(request)
    kind = row.kind
    if kind == "new_service":
        kind = f"new_service_{'here' if request['licence'] in here else 'elsewhere'}"
    state = {
        "submitted": "authority_review",
        "approved": "done",
        "rejected": "withdrawn",
    }[row.state]
    waits = state == "authority_review"
    # An estimate of before the first year: the next sweep computes it.
    rule = {
        "term": "authority_days",
        "amount": 20,
        "unit": "working_days",
        "since": row.submitted_at,
        "known_to": 0,
    }
    due = row.submitted_at + 28 * 86_400
    submitted = (row.submitted_at, row.submitted_by)
    events: list[tuple[Any, ...]] = [("submit", "reviewer", *submitted, "authority_review", {})]
    decided = (row.decided_at, row.decided_by)
    if state == "done":
        events.append(("approve", "authority", *decided, "done", {"licences": [row.licence]}))
    if state == "withdrawn":
        events.append(("return", "authority", *decided, "returned", {"reason": row.reason}))
        events.append(("withdraw", "authority", *decided, "withdrawn", {}))
    connection.execute(
        _INSERT_ORDER,
        {
            "id": row.id,
            "account": row.account or request["account"],
            "origin": "operation",
            "type": kind,
            "state": state,
            "province": request.get("province") or "",
            "entry": json.dumps(entry, ensure_ascii=False),
            "people": "[]",
            "clocks": json.dumps([{"at": due, "rule": rule}] if waits else []),
            "timer_at": None,
            "due_at": due if waits else None,
            "due_known_to": 0 if waits else None,
            "since": row.submitted_at if waits else row.decided_at,
            "made_at": row.submitted_at,
            "made_by": row.submitted_by,
            "changed_at": row.decided_at or row.submitted_at,
            "submitted_at": row.submitted_at,
            "submitted_by": row.submitted_by,
            "decided_at": row.decided_at,
            "decided_by": row.decided_by or "",
            "reason": row.reason,
            "faults": "[]",
            "licence": row.licence,
            "opened": "",
            "events": len(events),
            "revision": None,
        },
    )
    connection.execute(
        _INSERT_EVENT,
        [
            {
                "order_id": row.id,
                "number": number,
                "time": time,
                "actor": actor,
                "party": party,
                "event": event,
                "state": after,
                "detail": json.dumps(detail | {"migrated": True}, ensure_ascii=False),
                "rules": "",
                "notice": False,
            }
            for number, (event, party, time, actor, after, detail) in enumerate(events, 1)
        ],
    )
    targets = {
        *request["service"]["domains"],
        *([request["licence"]] if "licence" in request else []),
    }
    connection.execute(
        sa.text("INSERT INTO order_items (order_id, target) VALUES (:order_id, :target)"),
        [{"order_id": row.id, "target": target} for target in sorted(targets)],
    )


def _entry(request: dict[str, Any]) -> dict[str, Any]:
    """A request of the operations as the body of an order."""
    named = request.get("subject") or {}
    subject = {
        "name": named.get("name"),
        "kind": named.get("kind", "unit"),
        "certificate": named.get("certificate"),
        "province": request.get("province"),
        "licence": request.get("licence"),
    }
    return {
        "purpose": "file",
        "subject": {key: value for key, value in subject.items() if value is not None},
        "items": [request["service"]],
    }


_COLUMNS = (
    *("id", "account", "origin", "type", "state", "province", "entry", "people", "clocks"),
    *("timer_at", "due_at", "due_known_to", "since", "made_at", "made_by", "changed_at"),
    *("submitted_at", "submitted_by", "decided_at", "decided_by", "reason", "faults"),
    *("licence", "opened", "events", "revision"),
)
_INSERT_ORDER = sa.text(
    f"INSERT INTO orders ({', '.join(_COLUMNS)}) "  # noqa: S608 - the names above
    f"VALUES ({', '.join(':' + name for name in _COLUMNS)})"
)
_INSERT_EVENT = sa.text(
    "INSERT INTO order_events (order_id, number, time, actor, party, event, state, detail, rules, "
    "notice) VALUES (:order_id, :number, :time, :actor, :party, :event, :state, :detail, :rules, "
    ":notice)"
)


def _widen_tokens() -> None:
    """More roles; an owner's token has an account, a sub-user's has grants."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_tokens_role"), "tokens", type_="check")
        op.add_column("tokens", sa.Column("account", BYTEWISE, nullable=True))
        op.add_column("tokens", sa.Column("grants", sa.Text(), nullable=True))
        op.create_check_constraint(op.f("ck_tokens_role"), "tokens", ROLES)
        op.create_check_constraint(op.f("ck_tokens_account"), "tokens", ACCOUNT)
    else:  # SQLite changes no constraint of a table: it is copied
        op.rename_table("tokens", "tokens_before")
        op.create_table(
            "tokens",
            sa.Column("id", BYTEWISE, nullable=False),
            sa.Column("name", sa.Text(), nullable=False),
            sa.Column("role", sa.Text(), nullable=False),
            sa.Column("digest", sa.LargeBinary(), nullable=False),
            sa.Column("created_at", sa.BigInteger(), nullable=False),
            sa.Column("expires_at", sa.BigInteger(), nullable=True),
            sa.Column("revoked_at", sa.BigInteger(), nullable=True),
            sa.Column("account", BYTEWISE, nullable=True),
            sa.Column("grants", sa.Text(), nullable=True),
            sa.CheckConstraint(ROLES, name=op.f("ck_tokens_role")),
            sa.CheckConstraint(ACCOUNT, name=op.f("ck_tokens_account")),
            sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        )
        op.execute(
            "INSERT INTO tokens (id, name, role, digest, created_at, expires_at, revoked_at) "
            "SELECT id, name, role, digest, created_at, expires_at, revoked_at FROM tokens_before"
        )
        op.drop_table("tokens_before")
    op.create_index("ix_tokens_account", "tokens", ["account"], unique=False)
