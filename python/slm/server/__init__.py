"""The HTTP server: OpenAI's completions protocol and a page to try it on.

Read in this order: `app` (the routes), `service`, `schemas`, `worker`, `streaming`, `admission`, `guards`,
`listen`.
"""
