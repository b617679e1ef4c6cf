"""Where frames come from: asked for, tapped from a module, or several of these in a grid."""
