"""Turn a finished model into what other programs open: a Hugging Face folder with its card, GGUF files that llama.cpp
was seen to read alike, a Modelfile for ollama, and a push to the hub.
"""
