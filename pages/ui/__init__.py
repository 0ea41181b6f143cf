"""What pages share: frame, state, forms, charts. The only place besides the pages that imports streamlit."""
