Address = tuple[str, int]

class Bare:
    def __init__(
        self,
        upstreams: tuple[tuple[int, Address], tuple[int, Address]],
        paths: list[tuple[bytes, bytes, int]],
        answer: bytes,
        redirect: bytes,
        redirects: bool,
        refused: int,
        refused_path: bytes,
        posted: int,
        coalesce: float,
    ) -> None: ...
    def serve(self, tls: int, http: int) -> None: ...
