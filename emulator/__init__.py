"""A local stand-in for Google: OAuth, Drive v3 and Forms over HTTP on loopback.

It imports nothing of the product and the product nothing of it; only base URLs in settings
differ between it and the real service. `README.md` tells how to start and control it.
"""
