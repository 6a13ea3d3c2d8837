"""Pages that show a result in a browser, without a network."""

from .page import write_page as write_page
