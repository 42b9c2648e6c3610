"""Signed commands to gateways and their answers: how an activation is carried to a tag."""
