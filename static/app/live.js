// Live updates; see below. (The stream arrives with the next change.)
