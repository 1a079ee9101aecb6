"""The HTTP contract as tests: black boxes, every deployment, nothing imported."""
