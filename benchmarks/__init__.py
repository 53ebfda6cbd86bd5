"""What chats cost in time, CPU and memory: `python -m benchmarks.chat`. See docs/performance.md."""
