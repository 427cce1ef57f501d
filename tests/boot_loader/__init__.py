"""Our boot loader: on the host under the sanitizers, and on emulated boards whose power is cut."""
