"""The local viewer: a web app on 127.0.0.1 over the store, for reading what models were asked and said.

Pages are HTML made here; nothing is loaded from elsewhere and nothing is ever written. Needs the extra `view`.
"""
