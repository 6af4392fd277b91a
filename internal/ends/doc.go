// Package ends finds the ends of channels, and files, in a value: in fields, elements and behind pointers, by reflection. Of
// an end it knows only its type, which the [Finder] is told, and how it is closed.
//
// Walk visits those of a child's arguments, in an order that is the same for equal values in parent and child. Close closes
// them. InMessage and InArgs say where a type of an end may stand. Nothing is kept but what is known of types.
package ends
