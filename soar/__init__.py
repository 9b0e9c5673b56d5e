"""The core: decides, and imports none of the other packages."""
