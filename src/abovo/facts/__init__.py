"""Questions with the answers that a document gives by itself: who spoke when, what a function does.

In go the documents of a corpus made from packages; out come question and answer pairs, drawn by hash, each beside its
document, so that whoever uses them can keep to the document's split.
"""
