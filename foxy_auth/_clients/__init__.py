"""What the client libraries call: they translate, and decide nothing but how to answer a 401."""
