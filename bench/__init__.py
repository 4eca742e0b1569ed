"""What `make bench` measures: the speed and size that this project promises itself.

docs/performance.md tells what the rows mean and what they were when last measured.
"""
