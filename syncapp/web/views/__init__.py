"""Pages. Each view reads through `queries`, calls one engine function, and renders or redirects.

Whatever belongs to somebody else does not exist here: 404, for administrators too.
"""
