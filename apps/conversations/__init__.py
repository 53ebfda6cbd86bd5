"""Chats, turns, lanes and generations, and the doors people use."""
