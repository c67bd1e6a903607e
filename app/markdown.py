"""Words that come from data, files and addresses stay words: Streamlit reads text as Markdown."""

import re

SIGNS = "\\`*_[]$~:#<"


def escaped(text: str) -> str:
    """Keep Markdown out of words that come from data."""
    for sign in SIGNS:
        text = text.replace(sign, f"\\{sign}")
    return text


def as_sentence(words: object) -> str:
    """Words that come from data, or an error, as a sentence of their own, `escaped`."""
    said = escaped(str(words))
    return f"{said[:1].upper()}{said[1:]}."


def plain(text: str) -> str:
    """Take back what `escaped` did."""
    return re.sub(r"\\([\\`*_\[\]$~:#<])", r"\1", text)
