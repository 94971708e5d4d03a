"""What knows OAuth and Foxy: values in, values out, without I/O or clock."""
