"""Tuning: chooses by timing candidates on this machine, with weights from memory, and keeps the answers on disk."""
