module slipway/bundle/pause

go 1.26.0

toolchain go1.26.8

tool slipway/bundle/pause
