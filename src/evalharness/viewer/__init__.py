"""The local viewer: a web app on 127.0.0.1 over the store, for reading prompts and responses.

Pages are HTML made here; nothing is loaded from elsewhere, and nothing is written. Needs the extra `view`.
"""
