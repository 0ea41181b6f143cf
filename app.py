"""The router: which page was asked for. Pages draw their own frame, so that each can also be opened directly."""

from pages.ui import frame

frame.route()
