"""Instances and their tags: the list, its filter language, import, and reachability."""
