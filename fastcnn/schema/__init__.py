"""What ONNX says of its operators, as tables: the element types they take and give, the values that attributes may have."""
