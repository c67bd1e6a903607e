"""What a chart's help says."""

from dataclasses import dataclass

import streamlit as st

from aesm2.report import Help


@dataclass(frozen=True)
class Explanation:
    """What a chart's help says.

    sentence: what it shows, in plain words. formula: in LaTeX. source: e.g. "Eq. 11, §3.3".
    reading: how to read it.
    """

    sentence: str
    reading: str
    formula: str = ""
    source: str = ""

    def draw(self) -> None:
        """Draw it, in the popover of a chart."""
        st.write(self.sentence)
        if self.formula:
            st.latex(self.formula)
        if self.source:
            st.caption(f"Source: {self.source}, Zou et al., SIGIR 2022")
        st.write(f"**How to read it.** {self.reading}")

    @property
    def help(self) -> Help:
        """The same for a pin."""
        return Help(
            sentence=self.sentence, reading=self.reading, formula=self.formula, source=self.source
        )
