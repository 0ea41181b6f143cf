"""The edge where errors become sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from mtl_core.errors import StoreError, UserError
from pages.ui.text import plain


@contextmanager
def guard(next_step: str = "") -> Iterator[None]:
    """A person's mistake, or a store that cannot, becomes one sentence with a next step; the rest of the page goes on."""
    try:
        yield
    except (UserError, StoreError) as error:
        st.error(f"{plain(str(error))} {next_step}".rstrip())
