"""The Streamlit app: see, question and train expert selection."""
