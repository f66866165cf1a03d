"""Mixtures as tools of other people's agents: a server of the Model Context Protocol."""
