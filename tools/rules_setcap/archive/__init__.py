"""Reading and writing tar archives: headers, pax records, compression and blobs."""
