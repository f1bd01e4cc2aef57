"""The one error of the HTTP/1 parsers."""


class BadMessage(Exception):
    """A message that the gate refuses to understand, and so never forwards.

    `status` is what to answer a client with (400, 405, 414, 417, 431, 501, 505);
    it is always 502 when an upstream's response was refused. `detail` says what
    was wrong, for the log and for the client, in one line.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status}: {self.detail}"
