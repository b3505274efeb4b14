"""The library's public interface, and the version that a change of it requires."""
