"""`data:` URLs, in which one vendor carries what the other has as base64 with a media type."""


def parse_data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a `data:` URL; None for any other URL, and for one that is not base64."""
    if not url.startswith("data:"):
        return None
    kind, found, data = url[5:].partition(";base64,")
    return (kind, data) if found and kind and ";" not in kind else None


def data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"
