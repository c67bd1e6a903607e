"""Page under construction."""

import streamlit as st

st.write("curves")
