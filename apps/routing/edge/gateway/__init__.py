"""The stateless doors, plain ASGI beside Django: a Django view alone costs several times what such a call may."""
