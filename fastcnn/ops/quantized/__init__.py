"""This package's operators on bytes, which passes make from quantised operators; fastcnn.reference.bytes defines them."""
