"""What ONNX says of its operators, as tables: signatures, element types, the values that attributes may have."""
