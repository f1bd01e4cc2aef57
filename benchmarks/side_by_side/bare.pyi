Address = tuple[str, int]

class Bare:
    def __init__(
        self,
        upstreams: tuple[tuple[int, Address], tuple[int, Address]],
        request: bytes,
        answer: bytes,
        redirect: bytes,
        redirects: bool,
        refused: int,
        coalesce: float,
    ) -> None: ...
    def serve(self, tls: int, http: int) -> None: ...
