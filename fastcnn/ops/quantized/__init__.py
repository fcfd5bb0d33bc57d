"""This package's operators on bytes (fastcnn.reference.bytes defines them): what quantised operators become."""
