"""ONNX's definitions of its operators as tables: signatures, element types, allowed values of attributes."""
