"""Programs that generate parts of the documentation from the code. They do not need Sphinx.

`generated` replaces the markers of the pages. `extension` calls it from Sphinx.
"""
