"""Reading and writing of tar archives: headers, pax records, compression, and the blobs of layers.

A *member* is an entry of a tar that was read (reader.Member); an *entry* is a file, directory or link that is to be packed
(entry.Entry).
"""
