"""The pictures of the documentation: `python -m docs.site.pictures`.

`screens` records commands on a terminal, with the emulator as the API. `architecture` draws the
layers. `page` takes screenshots of a report with Chromium.
"""
