"""What has been learned, as data: each network once as a function and once as arrays, model files, names."""
