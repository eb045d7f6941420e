//! Property 2: from any state an apply converges, or refuses and changes nothing.
